-- index: uniform draws need nothing but the three sorted sets.
-- Gives: index_field, index_results, index_join, index_leave, index_mend
local index_field = 'stats'
local function index_results() end
local index_join, index_leave, index_mend = index_results, index_results, index_results
