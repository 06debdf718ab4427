from chatapp import client

client.main()
