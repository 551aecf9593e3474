"""The interactions of the RESTful API, one module each. https://hl7.org/fhir/R4/http.html"""
