"""The laboratory: what the notebooks and the tests use to run experiments on live connections.

``background``
    runs a server or a client in a thread of this process and takes it down again
``waiting``
    waits for a condition, and says what came instead when it does not hold in time
``wiretap``
    a proxy between client and server that records every chunk and damages traffic on purpose
``figures``
    draws what was recorded, in one style
``diagrams``
    draws how the chat is built: processes, threads, the life of a connection
``show``
    puts a figure, a listing or a table under a cell, captioned so that the report can number it
``cells``
    keeps servers and clients open from one cell to a later one, and not past a failure
``load``
    many users in a process of their own, and the times of what reaches them
``isolation``
    keeps the settings of whoever runs an experiment out of it
``count``
    how many lines of code there are
``terminal``
    real programs in pseudo-terminals, and pictures of their screens

Nothing in `chat` itself imports the laboratory; only this package needs third-party libraries.
"""
