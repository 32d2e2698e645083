"""What the tests share: real small servers and stores, and builders."""
