"""leakdrop: an anonymous, end-to-end encrypted whistleblowing drop."""
