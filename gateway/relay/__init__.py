"""Keys for gateways that share no link, carried hop by hop over trusted nodes."""
