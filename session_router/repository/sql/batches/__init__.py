"""Touch, start, register and finish, which agents do all the time: many in one transaction."""
