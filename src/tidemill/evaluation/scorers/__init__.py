"""The built-in scorers. Each is a pure function of the fields it declares; none calls a model."""
