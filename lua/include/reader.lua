-- reader: a read of the generation the caller believes in; writes nothing.
local generation = call('HGET', KEYS[1], 'generation')
if generation ~= ARGV[1] then
  return redis.error_reply('RCSTALE ' .. (generation or 'gone'))
end
