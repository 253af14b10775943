"""Tests the judge: puts faults into what it judges, and checks that it finds each at its stage."""
