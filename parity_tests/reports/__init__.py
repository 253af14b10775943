"""The result for people and machines: terminal, HTML, JSON, JUnit, annotations, repro folders."""
