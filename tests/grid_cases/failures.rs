//! Services fail: each failure leaves the cache in place and says once what is wrong and what to do.
