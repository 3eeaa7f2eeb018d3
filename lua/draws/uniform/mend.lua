-- mend: there is nothing to put right.
-- Gives: index_mend, index_add
local function index_mend() end
local index_add = index_mend
