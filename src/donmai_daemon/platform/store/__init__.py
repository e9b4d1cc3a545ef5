"""Where the platform keeps things: narrow protocols, and one package for each kind of store that fulfils them."""
