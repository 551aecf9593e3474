"""Search, from a query string to an engine-neutral query. https://hl7.org/fhir/R4/search.html"""
