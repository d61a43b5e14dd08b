"""What a candidate costs: operations, memory, seconds."""
