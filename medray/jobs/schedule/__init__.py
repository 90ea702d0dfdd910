"""Jobs that come again: their documents, who runs each due time, and the loop that starts them."""
