-module(ml_cluster_packed_tests).
-include_lib("eunit/include/eunit.hrl").

-define(LISTS, [[0.1, -2.0e-5], [1.0, 0.0]]).

there_and_back_test_() ->
    [?_assertEqual(lists:append(Parts), ml_cluster_packed:unpack([ml_cluster_packed:pack(P) || P <- Parts]))
     || Parts <- [[], [[]], [?LISTS], [?LISTS, ?LISTS], [?LISTS, [], ?LISTS], [[<<1, 2>>], [<<3, 4>>]],
                  [[0.5, 0.25]], [[[]]], [[<<"a">> | ?LISTS], ?LISTS]]].

%% Fifty lists of 384 floats, as a worker sends them, against what the heap would hold.
small_test() ->
    Vectors = [[N / (N + I) || I <- lists:seq(1, 384)] || N <- lists:seq(1, 50)],
    {packed, 50, Binary} = ml_cluster_packed:pack(Vectors),
    ?assert(byte_size(Binary) * 3 < erts_debug:flat_size(Vectors) * 8).
