"""search at type and system level, by GET and by POST. https://hl7.org/fhir/R4/http.html#search

A page is cut by the sort values of its last match, so a resource that does not change appears exactly once in all
pages, whatever else is written meanwhile.
"""
