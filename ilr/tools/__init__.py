"""What is made of finished reports, and of their evidence alone: comparison, index, tables and figures to take out."""
