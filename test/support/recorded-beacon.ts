import type { BeaconChain, Round } from '../../sale/places/beacon.ts';

/** A round that a network of drand published in 2023, and that network. */
export const recordedChain: BeaconChain = {
  hash: 'af8b6fc95693b058a3a59efe586eb31c2c352fe00cf40c62a427d87c34f7a235',
  publicKey:
    '81d320f220ee9c79e60e19dedc838c31e3ab919b15481e9feb52f643628c4f6a13fdc52129493875a818109d767272ca0541cbcdcea9335f2870d781b39b845ba8cbd44fdfe4967781cf72ca5917fc9398bcf97ca0548ed5a709016c4b1ff0f3',
  genesisSeconds: 1_687_506_816,
  periodSeconds: 3,
};

export const recordedRound: Round = {
  round: 38,
  randomness: 'b2fc21325a24904a6a9e81a6c63f65f6cec3f0b2400df3f4a56b214770e9ccca',
  signature:
    '95c93585c513ebbcb4777ff15599b3140e5ec0295faa0e483f3deadd88fa6d43f0d3703e3a4ce106e8fd6c6987f32126',
};

/** As DRAND_CHAIN has it. */
export const recordedChainText = Object.values(recordedChain).join(':');
