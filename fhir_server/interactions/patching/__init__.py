"""What a patch says and does, whoever sends it and whatever becomes of the result: JSON Patch, FHIRPath Patch."""
