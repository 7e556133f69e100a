"""Try-on inside the browser: a static page, what builds it and what serves it."""
