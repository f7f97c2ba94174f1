"""Sentence embeddings with all-MiniLM-L6-v2: found, written once for this processor, run in threads of their own."""
