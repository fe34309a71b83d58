# None: people read the messages.
