"""Teacher-student recovery on cached teacher logits."""
