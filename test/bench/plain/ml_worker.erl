%% @doc What the plain Erlang node of the benchmark answers with: the functions of a worker, without
%% a model. see scripts/bench-distribution.
-module(ml_worker).

-export([get_load/0, encode/3]).

get_load() -> 0.0.

%% The same vector for each text, in the format asked for.
encode(Texts, _Model, #{format := Format}) ->
    Vector = vector(Format),
    #{embeddings => [Vector || _ <- Texts], cached => length(Texts)}.

vector(list) -> [math:sin(I) || I <- lists:seq(1, 384)];
vector(binary) -> << <<F:32/float-little>> || F <- vector(list) >>.
