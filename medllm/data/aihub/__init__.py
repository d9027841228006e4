"""Adapters from AI Hub records to the one record schema, one file a record family."""
