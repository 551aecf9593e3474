"""Booking on the server's own slots: who holds a slot, and what becomes of its status. Generic R4.

Spec: https://hl7.org/fhir/R4/slot.html and https://hl7.org/fhir/R4/appointment.html
"""
