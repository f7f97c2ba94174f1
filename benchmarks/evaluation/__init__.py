"""How well questions about documents are answered: the product through its public doors, beside naive pipelines."""
