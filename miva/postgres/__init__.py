"""Django's own PostgreSQL backend, but that it does not wait for ever (`miva/silence.py`); an ENGINE of DATABASES."""
