"""Networks of line notations: codes, and texts read at once or token by token."""

import numpy as np
import torch

from medray.models.notation.autoencoder import NotationAutoencoder, NotationGan

SMALL = {"longest": 8, "code": 6, "place": 4, "hidden": 8, "embedding": 4}


def texts(length: int) -> torch.Tensor:
    tokens = torch.randint(1, 7, (3, length), dtype=torch.uint8)
    tokens[:, 0] = 0
    tokens[2, length // 2 :] = 0
    return tokens


def test_a_text_read_token_by_token_is_as_at_once_also_beyond_its_places() -> None:
    torch.manual_seed(0)
    network = NotationAutoencoder(NotationAutoencoder.Options(**SMALL), 7, 7).eval()
    for length in (5, 8, 13):
        tokens = texts(length)
        whole, state = network(tokens), network.opened(network.encode(tokens))
        for at in range(length):
            logits, state = network.following(tokens[:, at], state)
            torch.testing.assert_close(logits, whole[:, :, at])


def test_a_code_hangs_on_the_text_alone_and_has_unit_variance() -> None:
    torch.manual_seed(1)
    network = NotationAutoencoder(NotationAutoencoder.Options(**SMALL), 7, 7).eval()
    tokens = texts(6)
    codes = network.encode(tokens)
    filled = torch.cat([tokens, torch.zeros(3, 4, dtype=torch.uint8)], 1)
    assert torch.equal(network.encode(filled), codes)
    torch.testing.assert_close(codes.mean(1), torch.zeros(3), atol=1e-6, rtol=0)
    torch.testing.assert_close(codes.var(1, correction=0), torch.ones(3), atol=1e-3, rtol=0)
    assert not torch.equal(network.train()(tokens), network.eval()(tokens))  # noise in training


def test_codes_are_made_of_noise_and_a_gan_begins_as_the_autoencoder_it_was() -> None:
    torch.manual_seed(2)
    whole = NotationGan(NotationGan.Options(**SMALL, chance=5, generator=16), 7, 7).eval()
    first = NotationAutoencoder(NotationAutoencoder.Options(**SMALL), 7, 7).eval()
    own = first.load_state_dict(whole.state_dict(), strict=False)
    assert own.missing_keys == []
    assert {name.split(".")[0] for name in own.unexpected_keys} == {"generator"}
    tokens = texts(6)
    assert torch.equal(first(tokens), whole(tokens))
    one, same, other = (whole.begin(np.random.default_rng(seed), 9)[0] for seed in (0, 0, 1))
    assert one.shape == (8, 9, 4)
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
