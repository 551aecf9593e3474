"""HTTP: from ASGI to the service and back. https://hl7.org/fhir/R4/http.html"""
