"""What the outputs to AWS share: who we are there, a client, and what its errors mean."""
