//! From the errors inside to the codes that clients see: here, and nowhere else.
