"""What flows: topics, agents, the producer client and the command line."""
