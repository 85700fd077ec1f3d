"""The pages and documents of the authorization server that stands in the gatehouse."""
