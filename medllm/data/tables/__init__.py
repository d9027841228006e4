"""Adapters for tables (JSONL, CSV, Parquet, `datasets` sources), one row an item; the columns say what it is."""
