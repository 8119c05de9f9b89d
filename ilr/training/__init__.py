"""Training: who trains what, the loop of nets and that of the toy, what is measured on the way, what is kept."""
