# The classic cart-pole system after Sutton, Barto and Anderson, with the constants of Gym's CartPole-v1.
import math

import numpy as np


class CartPole:
    gravity, masscart, masspole, length, force_mag, tau = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02
    theta_limit, x_limit = 12 * 2 * math.pi / 360, 2.4

    def reset(self):
        self.state = np.random.uniform(-0.05, 0.05, size=(4,))
        return self.state.astype(np.float32)

    def step(self, action):
        x, x_dot, theta, theta_dot = self.state
        force = self.force_mag if action == 1 else -self.force_mag
        total, moment = self.masscart + self.masspole, self.masspole * self.length
        temp = (force + moment * theta_dot**2 * math.sin(theta)) / total
        theta_acc = (self.gravity * math.sin(theta) - math.cos(theta) * temp) / (
            self.length * (4.0 / 3.0 - self.masspole * math.cos(theta) ** 2 / total)
        )
        x_acc = temp - moment * theta_acc * math.cos(theta) / total
        x, x_dot = x + self.tau * x_dot, x_dot + self.tau * x_acc
        theta, theta_dot = theta + self.tau * theta_dot, theta_dot + self.tau * theta_acc
        self.state = np.array([x, x_dot, theta, theta_dot])
        done = bool(abs(x) > self.x_limit or abs(theta) > self.theta_limit)
        return self.state.astype(np.float32), 1.0, done
