"""What a continuous-integration server reads of a run, all of it made from the evidence: JUnit XML, summary, badge."""
