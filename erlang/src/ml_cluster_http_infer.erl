%% @doc `POST /infer' and `POST /infer/parallel'. Vectors come from the worker as JSON text and are
%% joined into the reply: turning them into floats and back here costs ten times the request.
-module(ml_cluster_http_infer).

-export([infer/1, parallel/1, vector/1]).

%% @doc One worker answers.
-spec infer(ml_cluster_http:request()) -> ml_cluster_http:response().
infer(Request) ->
    #{embeddings := Vectors, cached := Cached, nodes := [Node | _]} =
        ask(fun ml_cluster:encode/3, Request),
    ml_cluster_http_body:json(200, #{
        embeddings => [vector(V) || V <- Vectors],
        node => Node,
        cached => Cached
    }).

%% @doc All workers answer, each a part, in the order of the request.
-spec parallel(ml_cluster_http:request()) -> ml_cluster_http:response().
parallel(Request) ->
    #{embeddings := Vectors, nodes := Nodes} = ask(fun ml_cluster:encode_parallel/3, Request),
    ml_cluster_http_body:json(200, #{
        embeddings => [vector(V) || V <- Vectors],
        nodes_used => length(Nodes)
    }).

ask(Encode, Request) ->
    Object = ml_cluster_http_body:object(Request, [<<"texts">>], [<<"model">>]),
    Texts = ml_cluster_http_body:strings(<<"texts">>, Object),
    Model = ml_cluster_http_body:model(Object),
    Options = ml_cluster_http_body:options(Request),
    case Encode(Texts, Model, Options#{wish_format => json}) of
        {ok, Answer} -> Answer;
        {error, Reason} -> throw({http, Reason})
    end.

%% @doc A vector in a reply: text as it came. A worker that knows no formats sends floats.
-spec vector(binary() | [number()]) -> ml_cluster_json:output().
vector(Text) when is_binary(Text) -> {json, Text};
vector(Floats) -> Floats.
