-- stored_hypers: the numbers of the config, for scripts without the guard, which reads them too.
-- Needs: call, meta_key
-- Gives: packed_hypers
local packed_hypers = call('HGET', meta_key, 'hypers')
