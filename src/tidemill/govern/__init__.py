"""Whether a release may go where it is wanted, and what can be shown of it: policies, approvals, evidence, maturity."""
