"""What a release is made of, and how anybody makes it again: docs/release.md."""
