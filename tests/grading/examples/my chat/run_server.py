from chatapp import server

server.main()
