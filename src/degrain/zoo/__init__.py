"""The models that come with degrain, and how they are described, found and verified."""
