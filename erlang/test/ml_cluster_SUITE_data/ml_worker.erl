%% A double of the worker for tests of the front's policy: a real Erlang node whose answers are
%% known in advance and whose behaviour the test sets. A vector is made of the text alone.
-module(ml_worker).
-export([encode/2, encode/3, predict/2, predict/3, info/0, get_load/0, health/0]).
-on_load(init/0).
-export([behave/1, calls/0, vector/1]).

%% normal | {slow, Ms} | hang | {raise, Reason} | {raise_in, Function, Reason} | bad_reply
behave(Behaviour) -> persistent_term:put(?MODULE, Behaviour).

calls() -> counters:get(counter(), 1).

%% Before any call: two first calls at once would make two counters.
init() -> persistent_term:put({?MODULE, calls}, counters:new(1, [])).

counter() -> persistent_term:get({?MODULE, calls}).

behaviour() -> persistent_term:get(?MODULE, normal).

encode(Texts, Model) -> encode(Texts, Model, #{}).

encode(Texts, Model, Opts) ->
    counters:add(counter(), 1, 1),
    act(encode, behaviour()),
    known(Model),
    Format = maps:get(format, Opts, list),
    Reply = #{embeddings => [format(Format, vector(T)) || T <- Texts], cached => 0},
    case {behaviour(), Opts} of
        {bad_reply, _} -> nonsense;
        {{model_id, Id}, #{fingerprint := true}} -> Reply#{model_id => Id, numerics => <<"f32">>};
        {_, #{usage := true}} -> Reply#{tokens => [#{used => 3, given => 3} || _ <- Texts]};
        _ -> Reply
    end.

predict(Input, Model) -> predict(Input, Model, #{}).
predict(Input, _Model, _Opts) when is_binary(Input) -> vector(Input);
predict(Input, _Model, _Opts) -> [vector(T) || T <- Input].

info() ->
    #{
        model => #{loaded_models => [<<"all-MiniLM-L6-v2">>], default_dimensions => 2,
                   aliases => #{<<"default">> => <<"all-MiniLM-L6-v2">>}},
        memory => #{resident => 1},
        cache => #{hits => 0, misses => 0, hit_rate => 0.0, entries => 0, bytes => 0},
        version => <<"double">>,
        api => persistent_term:get({?MODULE, api}, 1),
        functions => [encode, predict, info, get_load, health],
        opts => persistent_term:get({?MODULE, opts},
            [format, timeout_ms, usage, fingerprint, dimensions])
    }.

get_load() ->
    act(get_load, behaviour()),
    0.0.

health() ->
    act(health, behaviour()),
    ok.

act(_, hang) -> timer:sleep(infinity);
act(encode, {slow, Ms}) -> timer:sleep(Ms);
act(_, {raise, Reason}) -> error(Reason);
act(Function, {raise_in, Function, Reason}) -> error(Reason);
act(_, _) -> ok.

known(<<"nowhere">> = Name) -> error({unknown_model, Name});
known(_) -> ok.

vector(Text) -> [erlang:crc32(Text) / 1.0, byte_size(Text) / 1.0].

format(list, Vector) -> Vector;
format(base64, Vector) -> base64:encode(<< <<F:32/float-little>> || F <- Vector >>);
format(json, Vector) ->
    iolist_to_binary(["[", lists:join(",", [float_to_list(F, [short]) || F <- Vector]), "]"]).
