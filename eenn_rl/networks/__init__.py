"""Everything of the domain that needs torch."""
