"""`tfstream view`: a dataset in the browser. What the server answers, and the page that asks it."""
