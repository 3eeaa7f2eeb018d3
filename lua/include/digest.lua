-- digest: what is kept of a token. Only its holder knows the token; who reads the keys learns nothing that is of use.
-- Needs: token
token = redis.sha1hex(token)
