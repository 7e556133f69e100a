"""TensorRT engines: made without a GPU by TensorRT-RTX, run where there is one."""
