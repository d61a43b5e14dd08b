"""Write a tuned prompt in the forms that other engines take, and prove that they answer as the run did."""
