"""Which bars are missing, fetch them, store their versions, judge them."""
