"""The judge on trial: faults put into what it judges, and whether it finds each at its stage."""
